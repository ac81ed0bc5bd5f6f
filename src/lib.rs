//! sbrun runs one program on one machine of the right size.
//!
//! # The house
//!
//! * [`model`] decides. Pure values and functions: no clock, no environment, no network, no terminal.
//! * [`kubernetes`], [`local`] and [`store`] are the outside. Each owns its client, turns outside things
//!   into model values and plans into outside effects.
//! * [`follow`] is the one loop that watches a launched job until it ends and emits typed events.
//!   `submit`, `logs -f`, `wait` and `--local` are views of that loop: that is why they cannot disagree.
//! * `commands` are short scripts, one file each: arguments → plan → act → show.
//! * `output` owns every byte that is written.
//!
//! ```text
//!  flow.py  instance-map.yaml  flags          Job, Pod, Node, Event, ConfigMap
//!       \         |           /                            |
//!        resolve (model) ─► LaunchPlan ─► Launcher ─► observe (kubernetes, local)
//!                               │       cluster|local      |
//!                           manifest                   Evidence (model)
//!                               │                          |
//!                           --dry-run          diagnose(evidence, now) ─► Story   (model, pure)
//!                                                          |
//!                          follow: JobEvent stream ─► terminal line | CI lines | jsonl | verdict + exit code
//! ```
//!
//! Three types carry the whole program:
//!
//! * [`model::launch_plan::LaunchPlan`]: everything decided before the first request. `--dry-run` prints
//!   what is rendered from it, so it cannot differ from what is sent.
//! * [`model::evidence::Evidence`]: everything observed about one job *so far*. Observations merge, and a
//!   terminal status once seen is never forgotten: pod and node vanish seconds later.
//! * [`model::story::Story`]: what [`model::diagnose`] makes of it. `why`, the pending line of `submit`,
//!   the verdict, `list`'s reason column and `-o json` are all renderings of a `Story`. New knowledge
//!   about causes goes into `diagnose` and nowhere else.
//!
//! Dependencies point inward: `commands → follow → {kubernetes, local, store} → model`, `output → model`.
//! `tests/architecture.rs` reads every file's imports against this rule.

pub mod environment;
pub mod error;
pub mod follow;
pub mod kubernetes;
pub mod local;
pub mod model;
pub mod store;
