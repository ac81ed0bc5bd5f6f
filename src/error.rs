//! What went wrong, whose turn it is, and the next thing to type.

use std::fmt;

use crate::model::exit_code::ExitCode;

/// The result of everything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an error. It fixes the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line does not make sense.
    Usage,
    /// The request could never run as asked: flow, map, size, quota, admission, name taken.
    Rejected,
    /// A cluster or service does not answer.
    Unreachable,
    /// Credentials or permissions are missing.
    NotAllowed,
    /// Something asked for does not exist, or could not be done here.
    Failed,
    /// A bug in sbrun.
    Internal,
}

impl ErrorKind {
    /// Returns the exit code of the contract for this kind.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Usage => ExitCode::USAGE,
            Self::Rejected => ExitCode::REJECTED,
            Self::Unreachable => ExitCode::UNREACHABLE,
            Self::NotAllowed => ExitCode::NOT_ALLOWED,
            Self::Failed => ExitCode::FAILURE,
            Self::Internal => ExitCode::INTERNAL,
        }
    }
}

/// An error as a user meets it: one sentence, its causes, and what to type next.
///
/// Messages start in lower case, end without a full stop, and put names in backticks.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<anyhow::Error>,
    hints: Vec<String>,
}

impl Error {
    /// Returns an error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hints: Vec::new() }
    }

    /// Returns an error of the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Returns an error for what could never run as asked.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, message)
    }

    /// Returns an error for a service that does not answer.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// Returns an error for missing credentials or permissions.
    pub fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotAllowed, message)
    }

    /// Returns an error for something that does not exist or could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Returns an error that only a bug in sbrun can cause.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds what caused this error; its chain is printed below the message.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds several causes, to be printed below the message in this order.
    #[must_use]
    pub fn caused_by_all<I: IntoIterator<Item = String, IntoIter: DoubleEndedIterator>>(mut self, causes: I) -> Self {
        // A chain is printed from the outermost to the innermost, so the last cause goes in first.
        self.source = causes.into_iter().rev().fold(self.source, |chain, cause| {
            Some(match chain {
                Some(inner) => inner.context(cause),
                None => anyhow::Error::msg(cause),
            })
        });
        self
    }

    /// Adds the next thing to type or to look at.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds several hints.
    #[must_use]
    pub fn with_hints(mut self, hints: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the sentence without causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the texts of all causes, nearest first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        self.source.iter().flat_map(|source| source.chain().map(ToString::to_string)).collect()
    }

    /// Returns the hints in the order in which they were added.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn std::error::Error + 'static) = source.as_ref();
            source
        })
    }
}
