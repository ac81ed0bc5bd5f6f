//! Charts as SVG. The only importer of the plotting crate.

use std::time::Duration;

use plotters::{
    prelude::{AreaSeries, ChartBuilder, Color as _, IntoDrawingArea, RGBColor, SVGBackend, WHITE},
    style::{BLACK, IntoFont},
};

use crate::{
    error::{Error, Result},
    model::{duration, machine_history::MachineHistory},
};

/// Width of a chart, in pixels.
const WIDTH: u32 = 960;
/// Height of one group's chart, in pixels.
const HEIGHT: u32 = 220;
/// A calm blue, dark enough on white.
const BLUE: RGBColor = RGBColor(36, 98, 160);

/// Returns one chart for each history, below each other, each with its title.
pub fn machines(histories: &[(String, &MachineHistory)]) -> Result<String> {
    let mut text = String::new();
    {
        let height = HEIGHT * u32::try_from(histories.len()).unwrap_or(1).max(1);
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE).map_err(unusable)?;
        for (part, (title, history)) in area.split_evenly((histories.len().max(1), 1)).iter().zip(histories) {
            let (points, span) = points(history);
            let top = history.peak().max(1) + 1;
            let mut chart = ChartBuilder::on(part)
                .caption(title, ("sans-serif", 16).into_font())
                .margin(10)
                .x_label_area_size(28)
                .y_label_area_size(36)
                .build_cartesian_2d(-span..0i64, 0..top)
                .map_err(unusable)?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .y_labels(5)
                .x_labels(7)
                .x_label_formatter(&|seconds| ago(*seconds))
                .y_label_formatter(&ToString::to_string)
                .axis_style(BLACK)
                .draw()
                .map_err(unusable)?;
            chart.draw_series(AreaSeries::new(points, 0, BLUE.mix(0.35)).border_style(BLUE)).map_err(unusable)?;
        }
        area.present().map_err(unusable)?;
    }
    Ok(text)
}

/// Returns the corners of the steps, by seconds before the end, and how long the span is.
fn points(history: &MachineHistory) -> (Vec<(i64, u32)>, i64) {
    let before_end = |at: jiff::Timestamp| -history.until.duration_since(at).as_secs();
    let mut points: Vec<(i64, u32)> = Vec::new();
    for step in &history.steps {
        let at = before_end(step.at);
        points.extend(points.last().map(|(_, machines)| (at, *machines)));
        points.push((at, step.machines));
    }
    points.extend(points.last().map(|(_, machines)| (0, *machines)));
    (points, history.until.duration_since(history.from).as_secs().max(1))
}

fn ago(seconds: i64) -> String {
    match u64::try_from(-seconds) {
        Ok(0) | Err(_) => "now".to_owned(),
        Ok(seconds) => format!("-{}", duration::format(Duration::from_secs(seconds))),
    }
}

fn unusable(error: impl std::error::Error) -> Error {
    Error::internal(format!("the chart cannot be drawn: {error}"))
}
