#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (varangian_fuzz::target("batch").run)(bytes);
});
