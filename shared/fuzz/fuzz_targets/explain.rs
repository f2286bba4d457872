#![no_main]

#[path = "../src/tls.rs"]
mod tls;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _messages = tls::connection(bytes);
});
