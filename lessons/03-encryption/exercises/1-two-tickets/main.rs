//! The trial of exercise 3.1.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_3::two_tickets::check(trial, yours::forge).await)
}
