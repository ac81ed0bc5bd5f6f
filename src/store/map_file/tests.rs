use std::fs;

use super::*;
use crate::model::settings::Key;

const GOOD: &str = "version: 1\nsizes: {small: {footprint: {cpu: 1, memory: 1Gi}}}\n";
const USER: &str = "version: 1\ndefaults: {image: users, timeout: 2h}\n";

/// A folder `work/deep`, in which somebody works, and the user's configuration beside it.
struct Place {
    root: tempfile::TempDir,
    environment: Environment,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let environment = Environment {
            variables: [("XDG_CONFIG_HOME".to_owned(), root.path().join("config").display().to_string())].into(),
            current_dir: Some(root.path().join("work/deep")),
            ..Environment::default()
        };
        let place = Self { root, environment };
        fs::create_dir_all(place.path("work/deep")).expect("a folder");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, contents).expect("a file");
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment.variables.insert(name.to_owned(), value.to_owned());
    }

    fn find(&self) -> Result<Option<FoundMap>> {
        find(None, &self.environment)
    }

    fn refusal(&self, flag: Option<&Path>) -> String {
        let error = find(flag, &self.environment).expect_err("refused");
        assert_eq!(error.kind(), crate::error::ErrorKind::Rejected);
        error.to_string().replace(&self.root.path().display().to_string(), "ROOT")
    }
}

fn image(found: &FoundMap) -> Option<&str> {
    found.map.defaults.image.as_ref().map(|image| image.value.as_str())
}

#[test]
fn the_nearest_map_wins_and_flags_go_first() {
    let mut place = Place::new();
    assert_eq!(place.find().expect("no error"), None);
    let source = |place: &Place| place.find().expect("no error").map(|found| found.source);
    place.write("config/sbrun/instance-map.yaml", GOOD);
    assert_eq!(source(&place), Some(MapSource::User(place.path("config/sbrun/instance-map.yaml"))));
    place.write("work/instance-map.yaml", GOOD);
    assert_eq!(source(&place), Some(MapSource::Upward(place.path("work/instance-map.yaml"))));
    place.write("work/deep/instance-map.yaml", GOOD);
    assert_eq!(source(&place), Some(MapSource::Upward(place.path("work/deep/instance-map.yaml"))));
    place.write("work/other.yaml", GOOD);
    place.set("SBRUN_MAP", "../other.yaml");
    assert_eq!(source(&place), Some(MapSource::Variable("../other.yaml".into())));
    let flag = place.path("work/other.yaml");
    let found = find(Some(&flag), &place.environment).expect("no error").expect("a map");
    assert_eq!(found.source, MapSource::Flag(flag));
    // A working directory that was removed has nothing above it.
    place.environment = Environment::default();
    assert_eq!(source(&place), None);
}

#[test]
fn the_users_map_fills_in_what_is_missing() {
    let place = Place::new();
    place.write("config/sbrun/instance-map.yaml", USER);
    assert_eq!(place.find().expect("no error"), None, "a map without sizes leaves them to the cluster's");
    place.write("work/instance-map.yaml", format!("{GOOD}defaults: {{image: projects}}"));
    let found = place.find().expect("no error").expect("a map");
    assert_eq!(image(&found), Some("projects"));
    assert_eq!(found.map.defaults.timeout.map(|timeout| timeout.value.as_secs()), Some(7200));
    assert_eq!(user_defaults(&place.environment).expect("no error").image.map(|image| image.value), Some("users".into()));
}

#[test]
fn the_users_map_goes_before_the_clusters() {
    let place = Place::new();
    place.write("config/sbrun/instance-map.yaml", USER);
    let map = format!("{GOOD}defaults: {{image: clusters, service_account: flows, template: job.yaml}}");
    let mut data: BTreeMap<String, String> =
        [(FILE_NAME.to_owned(), map), ("job.yaml".to_owned(), "{apiVersion: batch/v1, kind: Job}".to_owned())].into();
    let found = from_config_map("flows", &data, &place.environment).expect("no error").expect("a map");
    assert_eq!(image(&found), Some("users"));
    assert_eq!(
        found.map.defaults.service_account.map(|account| account.place.to_string()),
        Some("defaults in ConfigMap sbrun-instance-map of namespace flows line 3".into())
    );
    data.remove("job.yaml");
    let error = from_config_map("flows", &data, &place.environment).expect_err("no template");
    assert_eq!(error.causes(), ["line 3, column 63: defaults.template: `job.yaml`: the ConfigMap sbrun-instance-map has no such key"]);
    assert_eq!(from_config_map("flows", &BTreeMap::new(), &place.environment).expect("no error"), None);
}

#[test]
fn files_that_cannot_be_used_say_why() {
    let mut place = Place::new();
    assert_eq!(place.refusal(Some(Path::new("gone.yaml"))), "the file `gone.yaml` of flag --map cannot be used: there is no such file");
    place.set("SBRUN_MAP", "/gone/map.yaml");
    assert_eq!(place.refusal(None), "the file `/gone/map.yaml` of variable SBRUN_MAP cannot be used: there is no such file");
    place.set("SBRUN_MAP", "");
    fs::create_dir(place.path("work/instance-map.yaml")).expect("a folder");
    assert_eq!(place.refusal(None), "the file `ROOT/work/instance-map.yaml` cannot be used: it is a folder");
    for (contents, why) in
        [(b"version: 1\nname: \xff".to_vec(), "it is not UTF-8 text, see line 2"), (vec![b'#'; (1 << 20) + 1], "it is larger than 1 MiB")]
    {
        place.write("work/deep/instance-map.yaml", contents);
        assert_eq!(place.refusal(None), format!("the file `instance-map.yaml` cannot be used: {why}"));
    }
    place.write("work/deep/instance-map.yaml", "\u{feff}version: 1\r\nsizes: {}\r\n");
    assert_eq!(place.refusal(None), "the instance map `instance-map.yaml` has a problem");
}

#[test]
#[cfg(unix)]
fn links_and_permissions_are_told_apart() {
    let place = Place::new();
    std::os::unix::fs::symlink("nowhere", place.path("work/deep/instance-map.yaml")).expect("a link");
    assert_eq!(place.refusal(None), "the file `instance-map.yaml` cannot be used: there is no such file");
}

#[test]
fn templates_stand_beside_their_map() {
    let place = Place::new();
    place.write("work/instance-map.yaml", format!("{GOOD}defaults: {{template: parts/job.yaml}}"));
    let error = place.find().expect_err("no template");
    assert_eq!(error.causes(), ["line 3, column 22: defaults.template: `parts/job.yaml`: there is no such file"]);
    place.write("work/parts/job.yaml", "{apiVersion: batch/v1, kind: Job}");
    let found = place.find().expect("no error").expect("a map");
    assert_eq!(found.map.defaults.template.map(|template| template.value.file), Some("parts/job.yaml".into()));
}

#[test]
fn a_template_of_a_flag_is_checked_too() {
    let (place, flag) = (Place::new(), Origin::Flag(Key::Template));
    place.write("work/deep/job.yaml", "{apiVersion: batch/v1, kind: Job, spec: {completions: 2}}");
    let error = read_template(Path::new("job.yaml"), &flag, &place.environment).expect_err("two pods");
    assert_eq!(error.to_string(), "the template `job.yaml` cannot be used");
    assert_eq!(error.causes(), ["`spec.completions` is 2, it can only be 1: a job is one pod"]);
    place.write("work/deep/job.yaml", "{apiVersion: batch/v1, kind: Job}");
    assert!(read_template(Path::new("job.yaml"), &flag, &place.environment).is_ok());
    let error = read_template(Path::new("gone.yaml"), &flag, &place.environment).expect_err("gone");
    assert_eq!(error.to_string(), "the file `gone.yaml` of flag --template cannot be used: there is no such file");
}

#[test]
fn what_is_shared_is_the_map_alone_with_its_templates() {
    let place = Place::new();
    let map = "version: 1\ndefaults: {template: job.yaml}\nsizes: {small: {footprint: {cpu: 1, memory: 1Gi}}}\n";
    let template = "apiVersion: batch/v1\nkind: Job\n";
    place.write("config/sbrun/instance-map.yaml", USER);
    place.write("work/instance-map.yaml", map);
    place.write("work/job.yaml", template);
    let found = place.find().expect("no error").expect("a map");
    assert_eq!(image(&found), Some("users"), "for me, mine fills in what is missing");
    let shared_map = shared(found.source.path().expect("a file"), &place.environment).expect("no error");
    assert_eq!(shared_map.map.defaults.image, None, "for others it does not");
    let entries = [("instance-map.yaml".to_owned(), map.to_owned()), ("job.yaml".to_owned(), template.to_owned())];
    assert_eq!(shared_map.entries, entries.into());
    let again = shared_from_config_map("flows", shared_map.entries.clone()).expect("no error").expect("a map");
    assert_eq!((again.map.sizes[0].footprint(&again.map.defaults).cpu.0, again.entries), (1000, shared_map.entries));
    assert_eq!(shared_from_config_map("flows", BTreeMap::new()).expect("no error"), None);
}

#[test]
fn what_does_not_fit_into_a_config_map_is_not_shared() {
    let entries = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
    assert!(check_entries(&entries("job.yaml", "x")).is_ok());
    assert!(check_entries(&entries("jobs/job.yaml", "x")).is_err_and(|error| error.message().contains("`jobs/job.yaml`")));
    assert!(check_entries(&entries("job.yaml", &"x".repeat(1 << 20))).is_err_and(|error| error.message().contains("1024 KiB")));
}
