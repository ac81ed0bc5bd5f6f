//! Durations as people write them: `90s`, `15m`, `2h`, `1d`.
