//! `sbrun nodes --watch`: node groups as they change.

use std::time::Duration;

use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::{
    history::steps,
    look::{Look, Observer},
};
use crate::{
    error::{Error, Result},
    model::{exit_code::ExitCode, machine_history::REACH},
    output::{
        format,
        screen::{Input, Screen},
        ui::{Format, Ui},
        view::{node_group::NodeGroups, watch::WatchView},
    },
};

/// The shortest pause between two looks: machines take a minute to come.
const PAUSE: Duration = Duration::from_secs(5);
/// The pause is this many times as long as a look takes, so that a large cluster is asked less often.
const REST: u32 = 10;

/// Refuses formats that have an end.
pub(super) fn check(ui: &Ui) -> Result<()> {
    match ui.format() {
        Format::Table | Format::Jsonl => Ok(()),
        Format::Json | Format::Yaml | Format::Name => Err(Error::usage("--watch goes with `-o jsonl` or a table: another document would never end")),
    }
}

/// Shows node groups until somebody has seen enough.
pub(super) async fn watch(observer: Observer, ui: &mut Ui) -> Result<ExitCode> {
    let (look, took) = timed(&observer).await;
    let look = look?;
    if ui.format() == Format::Table && ui.stdout_is_terminal() {
        live(&observer, &look, took, ui.data_painter().color).await
    } else {
        stream(&observer, &look, took, ui).await
    }
}

/// Writes what there is after every change.
async fn stream(observer: &Observer, first: &Look, mut took: Duration, ui: &mut Ui) -> Result<ExitCode> {
    let mut last = NodeGroups::new(&observer.survey(first), first.now);
    write(&last, ui)?;
    let mut is_troubled = false;
    while !ui.is_closed() {
        tokio::time::sleep(pause(took)).await;
        let look;
        (look, took) = timed(observer).await;
        match look {
            Ok(look) => {
                is_troubled = false;
                let document = NodeGroups::new(&observer.survey(&look), look.now);
                if !document.says_the_same(&last) {
                    write(&document, ui)?;
                    last = document;
                }
            }
            Err(error) if !is_troubled => {
                is_troubled = true;
                ui.warning(error.message());
            }
            Err(_) => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(document: &NodeGroups, ui: &mut Ui) -> Result<()> {
    if ui.format() == Format::Jsonl {
        return ui.line(&format::json_line(document)?);
    }
    ui.line(&format!("{}\n{}\n", document.time.strftime("%H:%M:%S UTC"), document.table(ui.width())))
}

/// Shows a live view.
async fn live(observer: &Observer, first: &Look, took: Duration, color: bool) -> Result<ExitCode> {
    let survey = observer.survey(first);
    let document = NodeGroups::new(&survey, first.now);
    let mut view = WatchView::new(document, steps(&survey, first, first.now.checked_sub(REACH).unwrap_or(first.now)), observer.place(), color);
    let listen = |kind| signal(kind).map_err(|error| Error::internal("cannot listen for signals").caused_by(error));
    let (mut interrupt, mut terminate, mut hang_up) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    let mut screen = Screen::open()?;
    let mut next = Box::pin(later(observer, took));
    loop {
        screen.draw(|frame| view.draw(frame))?;
        tokio::select! {
            input = screen.input() => if input == Input::Quit { return Ok(ExitCode::SUCCESS) },
            (look, took) = &mut next => {
                match look {
                    Ok(look) => view.update(NodeGroups::new(&observer.survey(&look), look.now)),
                    Err(error) => view.trouble(error.message().to_owned()),
                }
                next = Box::pin(later(observer, took));
            }
            _ = interrupt.recv() => return Ok(ended_by(SignalKind::interrupt())),
            _ = terminate.recv() => return Ok(ended_by(SignalKind::terminate())),
            _ = hang_up.recv() => return Ok(ended_by(SignalKind::hangup())),
        }
    }
}

/// Returns the exit code that says which signal ended it.
fn ended_by(kind: SignalKind) -> ExitCode {
    ExitCode(u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX))
}

async fn later(observer: &Observer, took: Duration) -> (Result<Look>, Duration) {
    tokio::time::sleep(pause(took)).await;
    timed(observer).await
}

async fn timed(observer: &Observer) -> (Result<Look>, Duration) {
    let began = Instant::now();
    (observer.look().await, began.elapsed())
}

fn pause(took: Duration) -> Duration {
    PAUSE.max(took.saturating_mul(REST))
}
