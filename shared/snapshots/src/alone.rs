//! A test in a process of its own.

use std::process::Command;

/// Set in the process that runs the one test.
const ALONE: &str = "COURSE_TEST_ALONE";

/// For a test that measures its whole process (memory, open descriptors), which the other tests of its
/// executable would disturb. Starts the executable again for this test alone, waits for it, and
/// returns `false`: the test is done. In that process it returns `true`: the test goes on.
///
/// `test` is the name that the test harness prints, with the modules above it.
///
/// # Panics
/// When the test fails there, or none of that name ran.
pub fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let executable = std::env::current_exe().expect("the path of this executable");
    let ended = Command::new(executable)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("this executable starts again");
    let said = String::from_utf8_lossy(&ended.stdout);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{test}, in a process of its own:\n{said}\n{errors}");
    assert!(said.contains("1 passed"), "no test is named {test}:\n{said}");
    false
}
