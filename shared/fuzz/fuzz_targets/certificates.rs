#![no_main]

#[path = "../src/x509.rs"]
mod x509;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    x509::certificates(bytes);
});
