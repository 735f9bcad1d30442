//! Logs, metrics and trace ids.
//!
//! Each component names its own metrics as constants and describes them when the node starts; what
//! they share (the recorder, the buckets) is here.

mod log;
mod metrics;
mod trace;

pub use log::{LogFormat, init_log};
pub use metrics::init_metrics;
pub use trace::parse_traceparent;
