//! The trial of exercise 3.3.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_3::count::check::<yours::Yours>(trial).await)
}
