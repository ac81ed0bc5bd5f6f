//! Ctrl-C, SIGTERM and SIGHUP while a job is followed.

use std::{future::Future, pin::pin, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

use crate::{
    error::{Error, Result},
    follow::{Control, Controls, machine::StopSignal},
    model::launch_plan::OnInterrupt,
    output::{
        prompt,
        ui::{self, Ui},
    },
};

/// How long a cancelled job may take to end before sbrun leaves: a CI runner kills after 7.5 s and 2.5 s more.
const PATIENCE_IN_CI: Duration = Duration::from_millis(3500);
/// The same when somebody looks on.
const PATIENCE_ON_TERMINAL: Duration = Duration::from_secs(150);

/// How long the loop may take to become quiet before a question is asked.
const QUIET: Duration = Duration::from_secs(1);

/// How long what is under way when an interruption comes may take to come to its end: a CI runner gives 7.5 s.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// What an interruption means here.
#[derive(Debug, Clone)]
pub struct Interruptions {
    /// What happens without a terminal.
    pub without_terminal: OnInterrupt,
    /// Whether somebody can be asked.
    pub can_ask: bool,
    /// Who cancels, for the record.
    pub by: String,
}

/// The signals that end a follower.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

/// Which of them came.
enum Came {
    Interrupt,
    Terminate,
    HangUp,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::internal("cannot listen for signals").caused_by(error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())?, hang_up: listen(SignalKind::hangup())? })
    }

    async fn next(&mut self) -> Came {
        tokio::select! {
            _ = self.interrupt.recv() => Came::Interrupt,
            _ = self.terminate.recv() => Came::Terminate,
            _ = self.hang_up.recv() => Came::HangUp,
        }
    }
}

/// Listens for what ends a command that wants to finish what it has begun.
pub struct Interruption(Signals);

impl Interruption {
    /// Listens from now on: no signal ends the process by itself any more.
    pub fn listen() -> Result<Self> {
        Signals::listen().map(Self)
    }

    /// Waits for a signal.
    pub async fn came(&mut self) {
        self.0.next().await;
    }
}

impl Interruptions {
    /// Returns what the follow loop is to be told, from now on, as signals come.
    pub fn listen(self) -> Result<Controls> {
        self.listen_for(StopSignal::default())
    }

    /// The same for a flow on this machine, which is ended by the very signal that came: Ctrl-C reaches it as Ctrl-C.
    pub fn listen_for(self, stop_signal: StopSignal) -> Result<Controls> {
        let mut signals = Signals::listen()?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut cancelling = false;
            loop {
                let came = tokio::select! {
                    came = signals.next() => came,
                    () = sender.closed() => return, // nobody follows any more
                };
                stop_signal.set(matches!(came, Came::Interrupt));
                let control = if cancelling { Control::Detach } else { self.decide(&came, &mut signals, &sender).await };
                cancelling = matches!(control, Control::Cancel { .. });
                if sender.send(control).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver.into())
    }

    async fn decide(&self, came: &Came, signals: &mut Signals, sender: &mpsc::Sender<Control>) -> Control {
        match came {
            Came::HangUp => Control::Detach,
            Came::Interrupt if self.can_ask => self.ask(signals, sender).await,
            Came::Interrupt | Came::Terminate => match self.without_terminal {
                OnInterrupt::Cancel => self.cancel(PATIENCE_IN_CI),
                OnInterrupt::Detach => Control::Detach,
            },
        }
    }

    fn cancel(&self, patience: Duration) -> Control {
        Control::Cancel { by: self.by.clone(), patience }
    }

    /// Asks whether to leave the job running. A further signal, or no answer, leaves at once.
    async fn ask(&self, signals: &mut Signals, sender: &mpsc::Sender<Control>) -> Control {
        let (quiet, is_quiet) = oneshot::channel();
        if sender.send(Control::Ask(quiet)).await.is_ok() {
            // A loop that is busy with something else draws nothing either.
            drop(tokio::time::timeout(QUIET, is_quiet).await);
        }
        let question = tokio::task::spawn_blocking(|| prompt::choose("The job is still there", &["leave it running", "cancel it"]));
        tokio::select! {
            answer = question => match answer {
                Ok(Some(1)) => self.cancel(PATIENCE_ON_TERMINAL),
                _ => Control::Detach,
            },
            _ = signals.next() => {
                ui::give_terminal_back(); // whoever asks goes on waiting for a key
                Control::Detach
            }
        }
    }
}

/// Waits for `doing`, which makes something elsewhere: an interruption does not take it back, since it may be done already, and only its
/// answer tells. The interruption is put back, for whoever obeys it then. `None` when there is no answer in time.
pub async fn see_through<T>(doing: impl Future<Output = T>, controls: &mut Controls, ui: &mut Ui) -> Option<T> {
    let mut doing = pin!(doing);
    let control = tokio::select! {
        biased;
        done = &mut doing => return Some(done),
        control = controls.next() => control,
    };
    let mut done = None;
    let decided = {
        let mut answer = pin!(answered(control, controls, ui));
        loop {
            tokio::select! {
                answer = &mut answer => break answer,
                result = &mut doing, if done.is_none() => done = Some(result),
            }
        }
    };
    controls.put_back(decided);
    match done {
        None => tokio::time::timeout(LAST_MOMENT, doing).await.ok(),
        done => done,
    }
}

/// Returns what was decided by whoever is asked, who may take their time; nothing is drawn that could disturb the question.
async fn answered(control: Control, controls: &mut Controls, ui: &mut Ui) -> Control {
    let Control::Ask(quiet) = control else { return control };
    ui.clear_progress();
    drop(quiet);
    controls.next().await
}

/// Waits for `doing`, which an interruption gives up: `None` then.
pub async fn unless_interrupted<T>(doing: impl Future<Output = T>, controls: &mut Controls) -> Option<T> {
    tokio::select! {
        biased;
        done = doing => Some(done),
        control = controls.next() => {
            if let Control::Ask(quiet) = control {
                drop(quiet);
                controls.next().await;
            }
            None
        }
    }
}
