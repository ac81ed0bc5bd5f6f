//! Which rule decides about a path: `--include`, `--exclude`, `.sbrunignore`, what tools make, `.gitignore`, in this order.
//!
//! Ours rather than `ignore::WalkBuilder`: that one cannot say which rule left a file out, and people need to know.

use std::path::Path;

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder, Glob},
};

use crate::{
    error::{Error, Result},
    model::package::{
        LeftOut,
        never_sent::{StaysBehind, stays_behind},
    },
    store::packing::{PackingOptions, flow_file::FlowFile},
};

/// What happens to a path.
pub(super) enum Ruling {
    Send,
    /// Not sent; `always` means that nothing can bring it back.
    LeaveOut {
        entry: LeftOut,
        always: bool,
    },
}

/// All rules that hold in the folder that is being walked.
pub(super) struct Rules {
    include: Vec<Include>,
    exclude: Gitignore,
    levels: Vec<Level>,
}

/// One `--include`.
struct Include {
    pattern: String,
    matcher: Gitignore,
    /// The folders that every match lies in; empty when it may lie anywhere.
    prefix: Vec<String>,
    /// Whether it brought or kept a file.
    used: bool,
    /// A path that it names and that is never sent.
    never: Option<String>,
}

/// The ignore files of one folder.
struct Level {
    /// Folder below the root for messages, with a `/` at its end; empty for the root.
    label: String,
    sbrun: Gitignore,
    git: Gitignore,
}

impl Rules {
    /// Returns the rules of the command line and of the folders around the root, up to the top of its repository.
    pub(super) fn new(flow: &FlowFile, options: &PackingOptions) -> Result<Self> {
        let include = options.include.iter().map(|pattern| Include::new(pattern, &flow.root)).collect::<Result<_>>()?;
        let mut builder = GitignoreBuilder::new(&flow.root);
        for pattern in &options.exclude {
            add_pattern(&mut builder, "--exclude", pattern, &flow.root)?;
        }
        let exclude = builder.build().map_err(|error| bad_pattern("--exclude", &options.exclude.join(" "), error))?;
        let mut rules = Self { include, exclude, levels: Vec::new() };
        if let Some(top) = &flow.repository {
            rules.levels.push(Level::of_repository(top));
            let around: Vec<&Path> = flow.root.ancestors().skip(1).take(flow.levels_above()).collect();
            for (index, folder) in around.iter().enumerate().rev() {
                rules.levels.push(Level::load(folder, folder, "../".repeat(index + 1)));
            }
        }
        Ok(rules)
    }

    /// Adds the ignore files of a folder. `logical` is its path below the root, which differs where a link was followed.
    pub(super) fn enter(&mut self, real: &Path, logical: &Path, relative: &str) {
        let label = if relative.is_empty() { String::new() } else { format!("{relative}/") };
        self.levels.push(Level::load(real, logical, label));
    }

    /// Forgets the ignore files of the folder entered last.
    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Decides about a path. `logical` is absolute, `relative` counts from the root.
    pub(super) fn ruling(&mut self, relative: &str, logical: &Path, is_folder: bool) -> Ruling {
        let stays = stays_behind(relative);
        let shown = if is_folder { format!("{relative}/") } else { relative.to_owned() };
        if let Some(stays) = stays.filter(|stays| stays.always()) {
            self.note_never(logical, is_folder, &shown);
            return Ruling::LeaveOut { entry: stays.left_out(shown), always: true };
        }
        let by_tools = stays.filter(|_| !self.names(logical, is_folder));
        if by_tools.is_none() && self.includes(logical, is_folder) {
            return Ruling::Send;
        }
        let leave_out = |reason: &str, rule: String| Ruling::LeaveOut {
            entry: LeftOut { path: shown.clone(), reason: reason.to_owned(), rule: Some(rule), size: None, expected: false },
            always: false,
        };
        if let Match::Ignore(glob) = self.exclude.matched_path_or_any_parents(logical, is_folder) {
            return leave_out("--exclude", format!("--exclude '{}'", glob.original()));
        }
        match self.of_levels(logical, is_folder, |level| &level.sbrun) {
            Some((level, glob)) if !glob.is_whitelist() => return leave_out(".sbrunignore", level.rule(".sbrunignore", glob)),
            Some(_) => return Ruling::Send,
            None => {}
        }
        if let Some(stays) = by_tools {
            return Ruling::LeaveOut { entry: stays.left_out(shown), always: false };
        }
        match self.of_levels(logical, is_folder, |level| &level.git) {
            Some((level, glob)) if !glob.is_whitelist() => leave_out(".gitignore", level.rule(".gitignore", glob)),
            _ => Ruling::Send,
        }
    }

    /// Returns the ruling on a virtual environment, which is known by its content.
    pub(super) fn ruling_on_environment(&self, relative: &str, logical: &Path) -> Ruling {
        if self.names(logical, true) {
            return Ruling::Send;
        }
        Ruling::LeaveOut { entry: StaysBehind::VirtualEnvironment.left_out(format!("{relative}/")), always: false }
    }

    /// Returns whether an `--include` matches a path or a folder around it.
    pub(super) fn includes(&self, logical: &Path, is_folder: bool) -> bool {
        self.include.iter().any(|include| include.matcher.matched_path_or_any_parents(logical, is_folder).is_ignore())
    }

    /// Returns whether a folder that is left out may hold what an `--include` asks for.
    ///
    /// One that may match anywhere is not looked for in caches and environments, which are large and nobody's own.
    pub(super) fn may_include_below(&self, relative: &str, entry: &LeftOut) -> bool {
        let folders: Vec<&str> = relative.split('/').collect();
        self.include.iter().any(|include| {
            let agree = include.prefix.iter().zip(&folders).all(|(wanted, folder)| wanted == folder);
            agree && !(include.prefix.is_empty() && entry.expected)
        })
    }

    /// Remembers which patterns were of use for a file that is sent.
    pub(super) fn note_sent(&mut self, logical: &Path) {
        for include in &mut self.include {
            include.used |= include.matcher.matched_path_or_any_parents(logical, false).is_ignore();
        }
    }

    /// Returns an error when an `--include` brought nothing: a forgotten file must show here, not on a paid node.
    pub(super) fn check_includes(&self) -> Result<()> {
        let Some(include) = self.include.iter().find(|include| !include.used) else { return Ok(()) };
        let pattern = &include.pattern;
        Err(match &include.never {
            Some(path) => Error::rejected(format!("`--include {pattern}` asks for `{path}`, which is never sent"))
                .hinted("hand a secret to the flow with `--secret NAME`, from the environment or from a Secret of the cluster"),
            None => {
                Error::rejected(format!("`--include {pattern}` matches no file")).hinted("patterns are as in a .gitignore, and count from the root")
            }
        })
    }

    /// Returns whether an `--include` names this very path, not only a folder around it.
    fn names(&self, logical: &Path, is_folder: bool) -> bool {
        self.include.iter().any(|include| include.matcher.matched(logical, is_folder).is_ignore())
    }

    fn note_never(&mut self, logical: &Path, is_folder: bool, shown: &str) {
        for include in &mut self.include {
            if include.matcher.matched_path_or_any_parents(logical, is_folder).is_ignore() {
                include.never.get_or_insert_with(|| shown.to_owned());
            }
        }
    }

    /// Returns the rule of the innermost folder that has one for this path.
    fn of_levels(&self, logical: &Path, is_folder: bool, file: impl Fn(&Level) -> &Gitignore) -> Option<(&Level, &Glob)> {
        self.levels.iter().rev().find_map(|level| match file(level).matched(logical, is_folder) {
            Match::None => None,
            Match::Ignore(glob) | Match::Whitelist(glob) => Some((level, glob)),
        })
    }
}

impl Include {
    fn new(pattern: &str, root: &Path) -> Result<Self> {
        let mut builder = GitignoreBuilder::new(root);
        let written = add_pattern(&mut builder, "--include", pattern, root)?;
        let matcher = builder.build().map_err(|error| bad_pattern("--include", pattern, error))?;
        let anchored = written.trim_end_matches('/').contains('/');
        let parts: Vec<&str> = written.split('/').filter(|part| !part.is_empty()).collect();
        let literal = parts.iter().take_while(|part| !part.contains(['*', '?', '[', '{', '\\'])).count();
        let prefix = if anchored { parts[..literal].iter().map(|part| (*part).to_owned()).collect() } else { Vec::new() };
        Ok(Self { pattern: pattern.to_owned(), matcher, prefix, used: false, never: None })
    }
}

impl Level {
    fn load(real: &Path, logical: &Path, label: String) -> Self {
        let file = |name: &str| {
            let path = real.join(name);
            if !path.is_file() {
                return Gitignore::empty();
            }
            let mut builder = GitignoreBuilder::new(logical);
            // A line that is no pattern is skipped, as git does.
            drop(builder.add(path));
            builder.build().unwrap_or_else(|_| Gitignore::empty())
        };
        Self { label, sbrun: file(".sbrunignore"), git: file(".gitignore") }
    }

    /// Returns the excludes that a clone keeps for itself.
    fn of_repository(top: &Path) -> Self {
        let mut builder = GitignoreBuilder::new(top);
        let exclude = top.join(".git/info/exclude");
        if exclude.is_file() {
            drop(builder.add(exclude));
        }
        Self { label: String::new(), sbrun: Gitignore::empty(), git: builder.build().unwrap_or_else(|_| Gitignore::empty()) }
    }

    fn rule(&self, file: &str, glob: &Glob) -> String {
        let own = glob.from().is_some_and(|from| from.ends_with("info/exclude"));
        let file = if own { ".git/info/exclude".to_owned() } else { format!("{}{file}", self.label) };
        format!("line `{}` of {file}", glob.original())
    }
}

/// Adds a pattern of the command line and returns it as it was added: relative to the root, never a comment.
fn add_pattern(builder: &mut GitignoreBuilder, flag: &str, pattern: &str, root: &Path) -> Result<String> {
    if pattern.trim().is_empty() || pattern.starts_with('!') {
        let error = Error::usage(format!("`{flag} '{pattern}'` is no pattern"));
        return Err(error.hinted("write it as in a .gitignore, such as `data/**` or `*.csv`; --include is the opposite of --exclude"));
    }
    let below_root = Path::new(pattern).strip_prefix(root).ok().and_then(Path::to_str).map(|path| format!("/{path}"));
    let written = match (below_root, pattern.strip_prefix("./")) {
        (Some(path), _) => path,
        (None, Some(rest)) => format!("/{rest}"),
        (None, None) if pattern.starts_with('#') => format!("\\{pattern}"),
        (None, None) => pattern.to_owned(),
    };
    builder.add_line(None, &written).map_err(|error| bad_pattern(flag, pattern, error))?;
    Ok(written)
}

fn bad_pattern(flag: &str, pattern: &str, error: ignore::Error) -> Error {
    Error::usage(format!("`{flag} '{pattern}'` is no pattern")).caused_by(error).hinted("write it as in a .gitignore, such as `data/**` or `*.csv`")
}
