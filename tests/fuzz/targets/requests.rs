#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vst_fuzz::requests(data));
