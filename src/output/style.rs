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
        let code = match role {
            Role::Good => "32",
            Role::Bad => "1;31",
            Role::Caution => "33",
            Role::Strong => "1",
            Role::Faint => "2",
            Role::Command => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
