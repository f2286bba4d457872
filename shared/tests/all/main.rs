//! The laboratory, tested: one executable, so that its suites run side by side.

mod ca;
mod tls_records;
mod transcript;
mod wiretap;
