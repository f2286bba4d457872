//! For tests only: transcripts locked by insta, and foreign peers found on this machine.

pub mod peers;
pub mod snapshots;
