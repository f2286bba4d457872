//! The trial of exercise 4.2.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_4::one_refresh::check::<yours::TokenSource>(trial).await)
}
