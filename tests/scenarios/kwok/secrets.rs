//! What is secret shows nowhere but where it has to be: looked for in every form, in everything that sbrun writes.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, kwok},
    sandbox::Sandbox,
};

/// Something secret, in every form that it may turn up in.
#[derive(Clone)]
struct Secret {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn new(name: &'static str, value: &str) -> Self {
        let quoted = |text: &str| Value::from(text).to_string().trim_matches('"').to_owned();
        let mut forms = vec![value.to_owned(), quoted(value), quoted(&quoted(value)), utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()];
        forms.extend([data_encoding::HEXLOWER, data_encoding::HEXUPPER].map(|encoding| encoding.encode(value.as_bytes())));
        // Within a longer text the encoding of a value depends on how many bytes stand before it; at both ends others have a share.
        for before in 0..3 {
            let encoded = BASE64_STANDARD.encode([&[b' '; 2][..before.min(2)], value.as_bytes()].concat());
            let inner = encoded.trim_end_matches('=');
            let inner = &inner[[0, 2, 3][before]..inner.len() - 1];
            forms.extend([inner.to_owned(), inner.replace('+', "-").replace('/', "_")]);
        }
        // Every line alone, too: what is wrapped or indented is no less readable.
        forms.extend(value.lines().filter(|line| line.len() > 8 && *line != value).map(ToOwned::to_owned));
        Self { name, forms: forms.into_iter().map(String::into_bytes).collect() }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| memchr::memmem::find(bytes, form).is_some())
    }
}

/// Returns the names of those secrets that stand in some bytes.
fn found<'secret>(secrets: &'secret [Secret], bytes: &[u8]) -> Vec<&'secret str> {
    secrets.iter().filter(|secret| secret.is_in(bytes)).map(|secret| secret.name).collect()
}

/// Returns where secrets stand below a folder, but for `inputs`: file by file.
fn leaks_below(folder: &Path, secrets: &[Secret], inputs: &[&Path]) -> Vec<String> {
    let mut leaks = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            leaks.extend(leaks_below(&path, secrets, inputs));
        } else if !inputs.contains(&path.as_path()) {
            let names = found(secrets, &std::fs::read(&path).unwrap());
            leaks.extend(names.iter().map(|name| format!("{name} in {}", path.display())));
        }
        leaks.extend(found(secrets, path.to_string_lossy().as_bytes()).iter().map(|name| format!("{name} in the name {}", path.display())));
    }
    leaks
}

/// Looks at the arguments of every process of this machine, again and again.
struct Lookout {
    over: Arc<AtomicBool>,
    looking: JoinHandle<Vec<String>>,
}

impl Lookout {
    fn start(secrets: Vec<Secret>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let looking = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for folder in std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()) {
                    let Ok(arguments) = std::fs::read(folder.join("cmdline")) else { continue };
                    seen.extend(found(&secrets, &arguments).iter().map(|name| format!("{name} in {}", String::from_utf8_lossy(&arguments))));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { over, looking }
    }

    fn end(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

/// Starts a server that lets nobody in, whatever is asked for, and returns its address.
fn refusing_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 16_384];
                if stream.read(&mut request).is_ok() {
                    let body = r#"{"detail": "invalid key"}"#;
                    let answer = format!(
                        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    drop(stream.write_all(answer.as_bytes())); // whoever asked may be gone
                }
            });
        }
    });
    address
}

/// A round through the commands with all secrets at hand.
struct Tour {
    namespace: Namespace,
    secrets: Vec<Secret>,
    leaks: Vec<String>,
}

/// What a command came to.
struct Ran {
    code: i32,
    stdout: String,
    leaks: Vec<String>,
}

/// Runs `sbrun ARGUMENTS` to its end and looks for secrets in all that it says.
fn run(sandbox: &Sandbox, secrets: &[Secret], arguments: &[&str], input: Option<&str>) -> Ran {
    let mut command = sandbox.prepare(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    if let Some(input) = input {
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = [&output.stdout[..], b"\n--- stderr ---\n", &output.stderr].concat();
    let leak = |name: &&str| format!("{name} in what {arguments:?} says:\n{}", String::from_utf8_lossy(&said));
    let leaks = found(secrets, &said).iter().map(leak).collect();
    Ran { code: output.status.code().unwrap(), stdout: String::from_utf8_lossy(&output.stdout).into_owned(), leaks }
}

impl Tour {
    fn run(&mut self, arguments: &[&str]) -> (i32, String) {
        self.run_with(arguments, None)
    }

    fn run_with(&mut self, arguments: &[&str], input: Option<&str>) -> (i32, String) {
        let ran = run(&self.namespace.sandbox, &self.secrets, arguments, input);
        self.leaks.extend(ran.leaks);
        (ran.code, ran.stdout)
    }
}

/// Returns a value that no other test has, with characters that every encoding writes in its own way.
fn value(name: &str) -> String {
    format!("{name}-{}-4Ev\"er\\h/i+d=d&e?n%é", std::process::id())
}

/// The same for a header, whose characters are fewer.
fn token(name: &str) -> String {
    format!("{name}-{}-4Everh/i+dd_en", std::process::id())
}

const MAP: &str = "
version: 1
cluster: {region: eu-west-1}
defaults: {image: 'python:3'}
sizes:
  small:
    node_group: secret-tour
    instance_type: m7i.large
    footprint: {cpu: 100m, memory: 128Mi}
    node_selector: {sbrun.dev/size: small}
    tolerations: []
";

#[test]
fn a_secret_is_found_nowhere_but_where_it_has_to_be() {
    kwok().node("small-1", "small", "8", "32Gi");
    let mut namespace = kwok().namespace();
    let [from_variable, from_input] = [value("variable"), format!("{}\nsecond line of it-{}", value("input"), std::process::id())];
    let [prefect, amazon, session] = [token("prefect"), token("amazon"), token("session")];
    let cluster_token = kwok().ready["token"].as_str().unwrap().to_owned();
    let secrets = vec![
        Secret::new("a secret of the environment", &from_variable),
        Secret::new("a secret of standard input", &from_input),
        Secret::new("the key of Prefect", &prefect),
        Secret::new("the key of AWS", &amazon),
        Secret::new("the session of AWS", &session),
        Secret::new("the token of the cluster", &cluster_token),
    ];
    let refusing = refusing_server();
    namespace.sandbox.write("instance-map.yaml", MAP);
    namespace.sandbox.write("flow.py", "print('hello')\n");
    std::fs::create_dir(namespace.sandbox.path("../tmp")).unwrap();
    let (temporary, result) = (namespace.sandbox.path("../tmp"), namespace.sandbox.path("result.json"));
    for (name, value) in [
        ("API_TOKEN", from_variable.as_str()),
        ("PREFECT_API_URL", &format!("http://{refusing}/api")),
        ("PREFECT_API_KEY", &prefect),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", &amazon),
        ("AWS_SESSION_TOKEN", &session),
        ("AWS_ENDPOINT_URL", &format!("http://{refusing}")),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("TMPDIR", temporary.to_str().unwrap()),
        ("SBRUN_RESULT_FILE", result.to_str().unwrap()),
    ] {
        namespace.sandbox.set(name, value);
    }
    // The credentials come from a plugin, whose output is the secret.
    let plugin = namespace.sandbox.path("plugin");
    let answer = json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": cluster_token}});
    std::fs::write(&plugin, format!("#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&namespace.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])).unwrap();
    let exec = json!({"command": plugin, "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"});
    kubeconfig["users"][0]["user"] = json!({"exec": exec});
    let path = namespace.sandbox.write("kubeconfig.json", kubeconfig.to_string());
    namespace.sandbox.set("KUBECONFIG", path.to_str().unwrap());
    namespace.template(&json!({"kwok.test/run": "500ms", "kwok.test/exit": "0", "kwok.test/log": "hello\n"}));

    let lookout = Lookout::start(secrets.clone());
    let mut tour = Tour { namespace, secrets, leaks: Vec::new() };
    launches(&mut tour, &from_input);
    questions(&mut tour);
    failures(&mut tour, &from_input);
    tour.leaks.extend(wrong_credentials());
    tour.leaks.extend(lookout.end());

    let Tour { namespace, secrets, mut leaks } = tour;
    let objects = namespace.kubectl(&["get", "jobs,pods,configmaps,events,leases", "-o", "json"]);
    leaks.extend(found(&secrets, objects.as_bytes()).iter().map(|name| format!("{name} in an object of the cluster")));
    leaks.extend(leaks_below(namespace.sandbox.path("").parent().unwrap(), &secrets, &[&plugin]));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));

    // What was looked for can be found: where it has to be, and where it must not.
    let kept = namespace.kubectl(&["get", "secrets", "-o", "json"]);
    assert_eq!(found(&secrets, kept.as_bytes()), ["a secret of the environment", "a secret of standard input"]);
    leak_on_purpose(&namespace, &secrets, &from_variable);
}

/// Submits in every way, looks at what runs, and runs it again.
fn launches(tour: &mut Tour, from_input: &str) {
    let submit = ["submit", "-s", "small", "--template", "template.json", "--prefect", "off"];
    let secret = ["--secret", "API_TOKEN", "--secret", "FROM_INPUT"];
    let line = |further: &[&'static str]| [&submit[..], &secret, further, &["flow.py"]].concat();
    assert_eq!(tour.run_with(&line(&["-vv", "--log-file", "log"]), Some(from_input)).0, 0);
    for format in ["json", "yaml", "jsonl"] {
        assert_eq!(tour.run_with(&line(&["--dry-run", "-v", "-o", format]), Some(from_input)).0, 0);
    }
    assert_eq!(tour.run_with(&line(&["--dry-run=server", "-o", "json"]), Some(from_input)).0, 0);
    assert_eq!(tour.run_with(&line(&["--key", "k", "-o", "jsonl"]), Some(from_input)).0, 0);
    assert_eq!(tour.run_with(&line(&["--key", "k", "-o", "json"]), Some(from_input)).0, 0);
    let local = ["submit", "--local", "-vv", "-o", "json", "--secret", "API_TOKEN", "--secret", "FROM_INPUT", "flow.py"];
    assert_eq!(tour.run_with(&local, Some(from_input)).0, 0);
    let (code, name) =
        tour.run(&["submit", "-s", "small", "--template", "template.json", "--prefect", "off", "--secret", "API_TOKEN", "-o", "name", "flow.py"]);
    assert_eq!(code, 0);
    assert_eq!(tour.run(&["rerun", name.trim(), "-v", "-o", "json"]).0, 0);
    drop(tour.namespace.sandbox.command(["rerun", name.trim()]).exits(0).says(&["it gets `API_TOKEN` from your environment"]));
    assert_eq!(tour.run(&["wait", name.trim(), "-o", "json"]).0, 0);
    for command in [&["why"][..], &["logs"], &["logs", "-f"], &["cancel"]] {
        assert_eq!(tour.run(&[command, &[name.trim(), "-v", "-o", "json"]].concat()).0, 0);
    }
}

/// Asks everything that can be asked, of servers that refuse, too.
fn questions(tour: &mut Tour) {
    for command in [
        &["list", "--all"][..],
        &["nodes"],
        &["nodes", "--history", "24h"],
        &["sizes"],
        &["doctor"],
        &["config"],
        &["version"],
        &["setup", "access"],
        &["init", "--dry-run"],
        &["prefect", "pool", "flows"],
        &["why", "01234567-89ab-cdef-0123-456789abcdef"],
        &["submit", "--deployment", "flow/deployment"],
        &["clean", "--dry-run"],
    ] {
        for further in [&["-vv"][..], &["-o", "json"]] {
            tour.run(&[command, further].concat());
        }
    }
}

/// Submits what is refused, at every stage.
fn failures(tour: &mut Tour, from_input: &str) {
    let of_submit = |further: &[&'static str]| [&["submit", "-vv", "--secret", "API_TOKEN", "--secret", "FROM_INPUT"], further].concat();
    assert_eq!(tour.run_with(&of_submit(&["-s", "huge", "flow.py"]), Some(from_input)).0, 78);
    assert_eq!(tour.run_with(&of_submit(&["-s", "small", "missing.py"]), Some(from_input)).0, 78);
    assert_eq!(tour.run_with(&of_submit(&["-s", "small", "-n", "no-such-namespace", "flow.py"]), Some(from_input)).0, 78);
    assert_eq!(tour.run_with(&of_submit(&["-s", "small", "--key", "k", "--env", "OTHER=content", "flow.py"]), Some(from_input)).0, 78);
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"secrets": "0"}}});
    tour.namespace.apply(quota);
    assert_ne!(tour.run_with(&of_submit(&["-s", "small", "--prefect", "off", "flow.py"]), Some(from_input)).0, 0);
    tour.namespace.kubectl(&["delete", "resourcequota", "q"]);
}

/// Makes every kind of mistake with the credentials of others: each in a place of its own, all at the same time, since some are waited for.
fn wrong_credentials() -> Vec<String> {
    let password = token("password");
    let secrets = [Secret::new("a password", &password), Secret::new("a secret of the environment", &value("variable"))];
    let server = kwok().ready["server"].as_str().unwrap();
    let refusing = refusing_server();
    let encoded = utf8_percent_encode(&password, NON_ALPHANUMERIC).to_string();
    let with_password = |address: &str| format!("http://ana:{encoded}@{address}");
    let plugin = json!({"command": "sh", "args": ["-c", "printf %s \"$LEAK\""], "env": [{"name": "LEAK", "value": password}], "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"});
    let kubeconfigs = [
        kubeconfig(&json!({"token": password}), server, None),
        kubeconfig(&json!({"token": [password]}), server, None),
        kubeconfig(&json!({"username": "ana", "password": password}), server, None),
        kubeconfig(&json!({"token": format!("{password}\n\u{1}")}), server, None),
        kubeconfig(&json!({"client-key-data": password, "client-certificate-data": password}), server, None),
        kubeconfig(&json!({"exec": plugin}), server, None),
        kubeconfig(&json!({"token": "x"}), server, Some(&with_password("127.0.0.1:1"))),
        kubeconfig(&json!({"token": "x"}), server, Some(&with_password(&refusing))),
        kubeconfig(&json!({"token": "x"}), server, Some(&with_password("no such host"))),
        kubeconfig(&json!({"token": "x"}), &format!("https://ana:{encoded}@127.0.0.1:1"), None),
        kubeconfig(&json!({"token": "x"}), &format!("ana:{encoded}@127.0.0.1"), None),
    ];
    let elsewhere = kubeconfig(&json!({"token": "x"}), "https://kubernetes.invalid:6443", None);
    let of_kubeconfig = kubeconfigs.map(|kubeconfig| ("kubeconfig.json", kubeconfig.to_string(), vec![]));
    let profile =
        |text: &str| (".prefect/profiles.toml", format!("active = 'x'\n[profiles.x]\nPREFECT_API_URL = 'http://{refusing}/api'\n{text}"), vec![]);
    let of_profile = [
        profile(&format!("PREFECT_API_KEY = '{password}'")),
        profile(&format!("PREFECT_API_KEY = '{password}")),
        profile(&format!("PREFECT_API_KEY = {password}")),
    ];
    let of_variable = [
        ("HTTPS_PROXY", with_password("127.0.0.1:1")),
        ("HTTPS_PROXY", with_password(&refusing)),
        ("HTTPS_PROXY", format!("http://ana:{password}@not a host")),
        ("PREFECT_API_AUTH_STRING", format!("ana:{password}")),
        ("PREFECT_API_KEY", format!("{password}\n")),
        ("PREFECT_API_URL", with_password(&refusing)),
        ("PREFECT_API_URL", format!("ana:{password}@host")),
    ]
    .map(|variable| ("kubeconfig.json", elsewhere.to_string(), vec![variable]));
    std::thread::scope(|scope| {
        let cases = of_kubeconfig.into_iter().chain(of_profile).chain(of_variable);
        let looking: Vec<_> = cases.map(|(file, text, variables)| scope.spawn(|| wrongly(file, text, variables, &secrets))).collect();
        looking.into_iter().flat_map(|looking| looking.join().unwrap()).collect()
    })
}

/// Returns a kubeconfig with one user and one cluster.
fn kubeconfig(user: &Value, server: &str, proxy: Option<&str>) -> Value {
    let cluster = json!({"server": server, "insecure-skip-tls-verify": true, "proxy-url": proxy});
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": cluster}], "users": [{"name": "x", "user": user}],
    })
}

/// Tries what uses credentials where a file or a variable has wrong ones, and returns what leaked.
fn wrongly(file: &str, text: String, variables: Vec<(&str, String)>, secrets: &[Secret]) -> Vec<String> {
    let mut sandbox = Sandbox::new();
    let folder = sandbox.path("").parent().unwrap().to_owned();
    let path = folder.join("home").join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    sandbox.set("KUBECONFIG", if file == "kubeconfig.json" { path.to_str().unwrap() } else { kwok().kubeconfig() });
    sandbox.set("API_TOKEN", value("variable"));
    if file == "kubeconfig.json" {
        sandbox.set("PREFECT_API_URL", "https://prefect.invalid/api");
    }
    for (name, value) in variables {
        sandbox.set(name, value);
    }
    sandbox.write("instance-map.yaml", MAP);
    sandbox.write("flow.py", "print('hello')\n");
    let flow_run = "01234567-89ab-cdef-0123-456789abcdef";
    let of_flow_run: &[&str] = if file == "kubeconfig.json" { &["list", "-vv"] } else { &["why", flow_run, "-vv"] };
    let submit: &[&str] = &["submit", "-vv", "--dry-run", "-s", "small", "--secret", "API_TOKEN", "flow.py"];
    let mut leaks = Vec::new();
    for command in [of_flow_run, submit, &["doctor", "-v"], &["prefect", "pool", "flows", "-v"], &["config", "-v"]] {
        leaks.extend(run(&sandbox, secrets, command, None).leaks);
    }
    leaks.extend(leaks_below(&folder, secrets, &[&path]));
    leaks
}

/// Puts a secret where none may be and looks there: this test has to be able to fail.
fn leak_on_purpose(namespace: &Namespace, secrets: &[Secret], value: &str) {
    let name = "a secret of the environment";
    namespace.kubectl(&["create", "configmap", "leak", &format!("--from-literal=text={}", BASE64_STANDARD.encode(format!("x{value}y")))]);
    assert_eq!(found(secrets, namespace.kubectl(&["get", "configmaps", "-o", "json"]).as_bytes()), [name]);
    for text in [value.to_owned(), format!("{{\"a\": {}}}", Value::from(value)), utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()] {
        let path = namespace.sandbox.write("deep/leak", text);
        assert_eq!(leaks_below(&namespace.sandbox.path("deep"), secrets, &[]).len(), 1, "{}", path.display());
    }
    let lookout = Lookout::start(secrets.to_vec());
    let mut child = std::process::Command::new("sleep").arg("60").arg0(value).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!lookout.end().is_empty(), "arguments are looked at");
}
