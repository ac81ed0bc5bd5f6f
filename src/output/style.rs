//! Styles as roles. Without colour every role is the plain text: meaning never rests on colour.

/// What a piece of text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Something went well.
    Good,
    /// Something went wrong.
    Bad,
    /// Worth a look.
    Caution,
    /// A name to notice.
    Strong,
    /// Detail.
    Faint,
    /// Something to type.
    Command,
}

impl Role {
    const ALL: [Self; 6] = [Self::Good, Self::Bad, Self::Caution, Self::Strong, Self::Faint, Self::Command];

    /// Returns the parameters of the escape sequence that begins the role.
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Caution => "33",
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Command => "36",
        }
    }
}

/// The parameters of the escape sequence that ends every role.
const PLAIN: &str = "0";

/// Returns whether the parameters of a colour sequence are ones that a [`Painter`] writes.
#[must_use]
pub fn is_ours(parameters: &str) -> bool {
    parameters == PLAIN || Role::ALL.iter().any(|role| role.code() == parameters)
}

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Painter {
    /// Whether colour is wanted.
    pub color: bool,
}

impl Painter {
    /// Returns `text` in its role.
    #[must_use]
    pub fn paint(self, role: Role, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{}m{text}\u{1b}[{PLAIN}m", role.code())
    }
}
