//! The few lines of Python that turn a package into a running flow, inside the pod.

/// Folder of the pod in which the parts of a Python flow's package are mounted, read-only.
pub const PACKAGE_FOLDER: &str = "/sbrun/package";
/// Folder of the pod that holds the flow's files and is its working directory.
pub const FLOW_FOLDER: &str = "/sbrun/flow";
/// Name of the file in [`PACKAGE_FOLDER`] that holds a package that travels inside the Job, in base 64.
pub const INLINE_FILE: &str = "package.b64";
/// How every line begins that the bootstrap itself writes to standard error; a flow that did not start ends with one.
pub const FAILURE_PREFIX: &str = "sbrun: cannot start the flow: ";
/// Exit code when the package could not be unpacked: the shell's "found, but cannot be run".
pub const UNPACK_FAILED: i32 = 126;
/// Exit code when there is no `python3` to hand over to: the shell's "not found".
pub const PYTHON_MISSING: i32 = 127;

/// The program. It needs Python 3.8 or later and nothing else of the image.
pub const BOOTSTRAP: &str = include_str!("bootstrap.py");

/// Returns the command of a container that unpacks the package and becomes `python3 <file> <arguments>`.
///
/// `-I` and `-S` keep the image's own modules and variables away from the bootstrap; the flow itself starts without them.
#[must_use]
pub fn bootstrap_command(file: &str, arguments: &[String]) -> Vec<String> {
    // A file named like an option would be read as one.
    let file = if file.starts_with('-') { format!("./{file}") } else { file.to_owned() };
    head().chain([file]).chain(arguments.iter().cloned()).collect()
}

/// Returns the same for `python3 -m <module>`.
#[must_use]
pub fn bootstrap_module(module: &str) -> Vec<String> {
    head().chain(["-m".to_owned(), module.to_owned()]).collect()
}

fn head() -> impl Iterator<Item = String> {
    ["python3", "-I", "-S", "-c", BOOTSTRAP].map(ToOwned::to_owned).into_iter()
}
