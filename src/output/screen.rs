//! The whole terminal as a screen that is drawn again and again, and given back as it was: at the end, on a signal, after a panic.

use std::{
    io::{self, Stdout},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    buffer::Buffer,
    crossterm::{
        cursor::Show,
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::terminal_filter::steers;
use crate::error::{Error, Result};

/// Whether a screen is open in this process. A panic hook has nothing else to know it by.
static OPEN: AtomicBool = AtomicBool::new(false);
/// How long the thread that waits for keys takes to notice that nobody wants them any more.
const KEY_WAIT: Duration = Duration::from_millis(200);

/// What somebody in front of the screen did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Asked to leave.
    Quit,
    /// Changed the size of the terminal, or pressed a key that means nothing.
    Other,
}

/// The open screen.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    inputs: UnboundedReceiver<Input>,
}

impl Screen {
    /// Takes the terminal over.
    pub fn open() -> Result<Self> {
        let unusable =
            |error: io::Error| Error::failed("this terminal cannot show a live view").caused_by(error).hinted("`--watch -o jsonl` needs none");
        enable_raw_mode().map_err(unusable)?;
        OPEN.store(true, Ordering::SeqCst);
        let entered = execute!(io::stdout(), EnterAlternateScreen);
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal, inputs: listen() }),
            Err(error) => {
                restore();
                Err(unusable(error))
            }
        }
    }

    /// Draws the screen anew.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        let drawn = self.terminal.draw(|frame| {
            view(frame);
            disarm(frame.buffer_mut());
        });
        let drawn = drawn.map(drop);
        drawn.map_err(|error| Error::failed("cannot draw on this terminal").caused_by(error))
    }

    /// Returns what somebody did next. A keyboard that is gone means that they left.
    pub async fn input(&mut self) -> Input {
        self.inputs.recv().await.unwrap_or(Input::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Takes out of the cells what would steer the terminal: what others named is in them, and a cell is written as it is.
fn disarm(buffer: &mut Buffer) {
    for cell in buffer.content.iter_mut().filter(|cell| cell.symbol().contains(steers)) {
        let harmless = cell.symbol().replace(steers, "");
        cell.set_symbol(if harmless.is_empty() { " " } else { &harmless });
    }
}

/// Returns whether a screen is open: then nothing else may be written to the terminal.
#[must_use]
pub fn is_open() -> bool {
    OPEN.load(Ordering::SeqCst)
}

/// Gives the terminal back as it was, if it was taken.
pub fn restore() {
    if OPEN.swap(false, Ordering::SeqCst) {
        // What cannot be put back now cannot be put back at all.
        drop(execute!(io::stdout(), LeaveAlternateScreen, Show));
        drop(disable_raw_mode());
    }
}

fn listen() -> UnboundedReceiver<Input> {
    let (sender, receiver) = unbounded_channel();
    // Reading keys blocks, and the runtime has one thread.
    thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(KEY_WAIT).and_then(|there| if there { event::read().map(Some) } else { Ok(None) }) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    if sender.send(meaning(&event)).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    receiver
}

fn meaning(event: &Event) -> Input {
    match event {
        Event::Key(KeyEvent { kind: KeyEventKind::Press, code, modifiers, .. }) => match code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Input::Quit,
            // A terminal in raw mode sends no signal for it.
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Input::Quit,
            _ => Input::Other,
        },
        _ => Input::Other,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{
        layout::Rect,
        text::Line,
        widgets::{Paragraph, Widget},
    };

    use super::*;

    #[test]
    fn what_is_drawn_cannot_steer() {
        let texts = ["a\u{202e}gpj", "b\u{1b}]0;pwned\u{7}", "c\u{9b}2Jd", "e\rf", "עברית"];
        let text: Vec<Line<'_>> = texts.into_iter().map(Line::from).collect();
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 5));
        Paragraph::new(text).render(buffer.area, &mut buffer);
        disarm(&mut buffer);
        assert!(!buffer.content.iter().any(|cell| cell.symbol().contains(steers)), "{buffer:?}");
        assert!(buffer.content.iter().any(|cell| cell.symbol() == "ע"));
    }

    #[test]
    fn some_keys_leave() {
        let key = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Input::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Input::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Input::Other);
        assert_eq!(meaning(&Event::Resize(40, 10)), Input::Other);
    }
}
