//! The trial of exercise 0.1.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_0::checksum::check(trial, yours::act).await)
}
