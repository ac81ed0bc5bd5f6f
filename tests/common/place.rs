//! Where a flow runs in a behavioural test: on this machine, or in a real container. The same test must hold for both.

use std::path::PathBuf;

use super::{
    cluster::{Namespace, real},
    sandbox::{Output, Running, Sandbox},
};

/// A place where flows run.
pub(crate) enum Place {
    Local(Sandbox),
    Real(Namespace),
}

impl Place {
    /// Returns this machine.
    pub(crate) fn local() -> Self {
        Self::Local(Sandbox::new())
    }

    /// Returns a namespace of the cluster with real containers.
    pub(crate) fn real() -> Self {
        let namespace = real().namespace();
        namespace.map(&["small"], "");
        Self::Real(namespace)
    }

    /// Returns the sandbox.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        match self {
            Self::Local(sandbox) => sandbox,
            Self::Real(namespace) => &namespace.sandbox,
        }
    }

    /// Writes a file beside the flow.
    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.sandbox().write(relative, content)
    }

    /// Starts `sbrun submit ARGUMENTS`.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let place: &[&str] = match self {
            Self::Local(_) => &["submit", "--local"],
            Self::Real(_) => &["submit", "--size", "small"],
        };
        self.sandbox().start([place, arguments].concat())
    }

    /// Runs `sbrun submit ARGUMENTS` to its end.
    pub(crate) fn submit(&self, arguments: &[&str]) -> Output {
        self.start(arguments).finish()
    }
}

/// Declares a test that must hold on this machine and in a real container alike.
#[macro_export]
macro_rules! behaviour {
    ($(#[$attribute:meta])* fn $name:ident($place:ident: &Place) $body:block) => {
        mod $name {
            use super::*;

            fn holds($place: &Place) $body

            mod local {
                #[test]
                fn holds() {
                    super::holds(&super::Place::local());
                }
            }

            mod real {
                #[test]
                fn holds() {
                    super::holds(&super::Place::real());
                }
            }
        }
    };
}
