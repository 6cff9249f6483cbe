#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hello_fuzz::date_of_birth(input));
