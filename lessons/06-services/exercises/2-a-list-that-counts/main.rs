//! The trial of exercise 6.2.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_6::reload::check::<yours::Gate>(trial).await)
}
