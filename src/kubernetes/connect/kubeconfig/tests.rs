use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

const TWO: &str = r"
apiVersion: v1
kind: Config
current-context: prod
clusters:
- {name: c1, cluster: {server: 'https://one.example:6443', tls-server-name: kube, insecure-skip-tls-verify: true}}
- {name: c2, cluster: {server: 'http://two.example'}}
- {name: bad, cluster: {server: 'two.example:1'}}
- {name: lost, cluster: {server: 'https://x', certificate-authority: missing.crt}}
- {name: text, cluster: {server: 'https://x', certificate-authority-data: aGVsbG8=}}
users:
- {name: ana, user: {token: abc}}
- {name: exec, user: {exec: {command: aws, apiVersion: client.authentication.k8s.io/v1beta1, provideClusterInfo: true}}}
- {name: both, user: {token: abc, exec: {command: aws}}}
- {name: old, user: {auth-provider: {name: gcp}}}
contexts:
- {name: prod, context: {cluster: c1, user: ana, namespace: flows}}
- {name: stage, context: {cluster: c2, user: exec}}
- {name: both, context: {cluster: c2, user: both}}
- {name: bad, context: {cluster: bad}}
- {name: lost, context: {cluster: lost}}
- {name: text, context: {cluster: text}}
- {name: old, context: {cluster: c2, user: old}}
- {name: dangling, context: {cluster: nowhere}}
- {name: nobody, context: {cluster: c2, user: nobody}}
";

struct Sandbox {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Sandbox {
    fn new(kubeconfig: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        if let Some(kubeconfig) = kubeconfig {
            fs::create_dir(folder.path().join(".kube")).unwrap();
            fs::write(folder.path().join(".kube/config"), kubeconfig).unwrap();
        }
        let variables = [("HOME".to_owned(), home)].into();
        Self { folder, environment: Environment { variables, ..Environment::default() } }
    }

    fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.variables.insert(key.to_owned(), value.into());
        self
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn choose(&self, context: Option<&str>, namespace: Option<&str>) -> Result<Target> {
        let options = ConnectOptions { context: context.map(Into::into), namespace: namespace.map(Into::into) };
        choose(&options, &self.environment, &self.folder.path().join("account"))
    }

    /// The error of a context: kind, message with the sandbox's folder left out, hints.
    fn error(&self, context: Option<&str>) -> (ErrorKind, String, Vec<String>) {
        let error = self.choose(context, None).unwrap_err();
        let shorten = |text: &str| text.replace(&self.folder.path().display().to_string(), "~");
        (error.kind(), shorten(error.message()), error.hints().iter().map(|hint| shorten(hint)).collect())
    }
}

#[test]
fn the_context_decides_and_options_win() {
    let sandbox = Sandbox::new(Some(TWO));
    let chosen = |context, namespace| {
        let target = sandbox.choose(context, namespace).unwrap();
        (target.context.unwrap(), target.server, target.namespace, target.plugin.and_then(|plugin| plugin.command))
    };
    let server = |name: &str| format!("https://{name}.example:6443");
    assert_eq!(chosen(None, None), ("prod".into(), server("one"), "flows".into(), None));
    assert_eq!(chosen(None, Some("mine")), ("prod".into(), server("one"), "mine".into(), None));
    assert_eq!(chosen(Some("stage"), None), ("stage".into(), "http://two.example".into(), "default".into(), Some("aws".into())));
    assert_eq!(chosen(Some("both"), None).3, None, "a token in the kubeconfig wins, as with kubectl");
    let target = sandbox.choose(Some("stage"), None).unwrap();
    assert!(target.config.auth_info.exec.is_none(), "kube would run the plugin by itself");
    assert_eq!(target.plugin.unwrap().cluster.unwrap().server.as_deref(), Some("http://two.example"));
    assert_eq!(target.contexts.iter().map(|(name, _)| name.as_str()).take(3).collect::<Vec<_>>(), ["prod", "stage", "both"]);
    assert_eq!(target.contexts[0].1, server("one"));
}

#[test]
fn every_broken_kubeconfig_has_its_words() {
    let sandbox = Sandbox::new(Some(TWO));
    let message = |context| {
        let (kind, message, _) = sandbox.error(Some(context));
        (kind, message)
    };
    assert_eq!(message("bad"), (ErrorKind::Rejected, "the server of context `bad` is `two.example:1`, which is no address".to_owned()));
    assert_eq!(
        message("lost"),
        (ErrorKind::NotAllowed, "cannot read the certificate authority `~/.kube/missing.crt` that the kubeconfig names".to_owned())
    );
    assert_eq!(message("text"), (ErrorKind::Rejected, "the cluster's certificate authority holds no certificate in PEM".to_owned()));
    assert_eq!(message("old"), (ErrorKind::NotAllowed, "the kubeconfig's auth provider `gcp` is no longer supported, by kubectl neither".to_owned()));
    assert_eq!(
        message("dangling"),
        (ErrorKind::Rejected, "context `dangling` names the cluster `nowhere`, which the kubeconfig does not have".to_owned())
    );
    assert_eq!(message("nobody"), (ErrorKind::Rejected, "context `nobody` names the user `nobody`, which the kubeconfig does not have".to_owned()));
    let (kind, message, hints) = sandbox.error(Some("prd"));
    assert_eq!((kind, message.as_str()), (ErrorKind::Usage, "the kubeconfig has no context `prd`"));
    assert_eq!(hints[0], "did you mean `prod`?");
    assert!(hints[1].starts_with("choose one with `--context`: `prod`, `stage`"), "{hints:?}");
    let (kind, message, _) = Sandbox::new(Some(&TWO.replace("current-context: prod", ""))).error(None);
    assert_eq!((kind, message.as_str()), (ErrorKind::Usage, "the kubeconfig has no current context"));
}

#[test]
fn a_missing_kubeconfig_says_where_it_was_looked_for() {
    let hint = "make one with `aws eks update-kubeconfig --name <cluster>`, or set `KUBECONFIG`".to_owned();
    let unreachable =
        |message: &str, hints: &[&String]| (ErrorKind::Unreachable, message.to_owned(), hints.iter().map(|hint| (*hint).clone()).collect());
    assert_eq!(Sandbox::new(None).error(None), unreachable("no kubeconfig with a context at `~/.kube/config`", &[&hint]));
    assert_eq!(Sandbox::new(Some("")).error(None), unreachable("no kubeconfig with a context at `~/.kube/config`", &[&hint]));
    assert_eq!(
        Sandbox::new(Some(TWO)).set("KUBECONFIG", "/no/a:/no/b").error(None),
        unreachable("no kubeconfig with a context at `/no/a` and `/no/b`", &[&"`KUBECONFIG` names the files to read".to_owned(), &hint])
    );
    let homeless = Sandbox { environment: Environment::default(), ..Sandbox::new(None) };
    assert_eq!(homeless.error(None).1, "no kubeconfig: neither `KUBECONFIG` nor `HOME` is set");
}

#[test]
fn a_kubeconfig_that_is_no_yaml_is_not_quoted() {
    let sandbox = Sandbox::new(Some("users:\n- name: a\n  user: {token: s3cret\n- :::\n"));
    let error = sandbox.choose(None, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.message().contains("/.kube/config` is not valid at line "), "{}", error.message());
    assert_eq!(error.causes().len(), 1);
    assert!(!error.causes()[0].contains("s3cret"), "{:?}", error.causes());
}

#[test]
fn several_files_are_merged_and_missing_ones_left_out() {
    let sandbox = Sandbox::new(Some(TWO));
    let list = format!("{}:/no/such/file:{}", sandbox.path("first"), sandbox.path(".kube/config"));
    fs::write(sandbox.path("first"), "current-context: stage\n").unwrap();
    let sandbox = sandbox.set("KUBECONFIG", list);
    assert_eq!(sandbox.choose(None, None).unwrap().context.as_deref(), Some("stage"));
}

#[test]
fn a_pod_without_a_kubeconfig_uses_its_service_account() {
    let sandbox = Sandbox::new(None).set("KUBERNETES_SERVICE_HOST", "fd00::1").set("KUBERNETES_SERVICE_PORT", "443");
    assert_eq!(sandbox.error(None).0, ErrorKind::NotAllowed);
    let account = sandbox.folder.path().join("account");
    fs::create_dir(&account).unwrap();
    fs::write(account.join("token"), "t").unwrap();
    fs::write(account.join("namespace"), "flows\n").unwrap();
    fs::write(account.join("ca.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let target = sandbox.choose(None, None).unwrap();
    assert_eq!((target.server.as_str(), target.namespace.as_str(), target.context), ("https://[fd00::1]:443", "flows", None));
    assert_eq!(target.config.auth_info.token_file.as_deref(), Some(account.join("token").to_str().unwrap()));
    // `--context` asks for a kubeconfig, and one that exists wins over the pod.
    assert_eq!(sandbox.error(Some("prod")).0, ErrorKind::Unreachable);
}

/// What must never be shown.
const PLANTED: &str = "pl4nted7secret";

/// Returns all that an error says.
fn words(error: &Error) -> String {
    [&[error.message().to_owned()][..], &error.causes(), error.hints()].concat().join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_kubeconfig_is_refused_without_its_secrets(
        at: prop::sample::Index, length in 0usize..30, put in "[ \\-:{}\\[\\]\"'|>#&*!%0-9\\n]{0,8}", context in prop::option::of("(prod|stage|both|old|lost)"),
    ) {
        let text = TWO.replace("token: abc", &format!("token: {PLANTED}, password: {PLANTED}, client-key-data: {PLANTED}"));
        let start = text.floor_char_boundary(at.index(text.len()));
        let end = text.floor_char_boundary((start + length).min(text.len()));
        // What is torn out of a secret is none.
        prop_assume!(!text[start..end].chars().any(|character| PLANTED.contains(character)) || !text[..end].ends_with(PLANTED));
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        if let Err(error) = Sandbox::new(Some(&damaged)).choose(context.as_deref(), None) {
            prop_assert!(!words(&error).contains(PLANTED), "{}", words(&error));
        }
    }
}

#[test]
fn a_secret_of_the_wrong_kind_is_not_quoted() {
    for user in
        ["{token: 4711471147114711}", "{token: [4711471147114711]}", "{password: {a: 4711471147114711}}", "{client-key-data: 4711471147114711}"]
    {
        let text = TWO.replace("{token: abc}", user);
        if let Err(error) = Sandbox::new(Some(&text)).choose(None, None) {
            assert!(!words(&error).contains("47114711"), "{}", words(&error));
        }
    }
}

#[test]
fn an_address_with_a_user_is_refused_and_not_repeated() {
    let text = TWO.replace("https://one.example:6443", "https://ana:secret@one.example:6443");
    let error = Sandbox::new(Some(&text)).choose(Some("prod"), None).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "the server of context `prod` has a user in its address"));
    assert!(!words(&error).contains("secret"));
}
