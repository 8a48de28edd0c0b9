//! The fuzz targets on a plain toolchain: with the inputs that once failed, which lie in
//! `tests/fuzz/regressions`, and with some bytes of chance.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own as well")]
mod fuzz;

use std::fs;
use std::path::Path;

/// Inputs of chance for each target.
const INPUTS: u64 = 300;
const INPUT_BYTES_MAX: u64 = 3000;

fn run(target: &str, with: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions").join(target);
    if let Ok(files) = dir.read_dir() {
        let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        paths.sort();
        for path in paths {
            println!("{}", path.display());
            with(&fs::read(path).expect("an input"));
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for n in 0..INPUTS {
        let len = next() % INPUT_BYTES_MAX;
        // Small numbers make more sense to a decoder than large ones.
        let mask = if n % 2 == 0 { 0xff } else { 0x1f };
        let input: Vec<u8> = (0..len).map(|_| (next() >> 24) as u8 & mask).collect();
        println!("input {n}");
        with(&input);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name), fuzz::$name);
            }
        )*
    };
}

targets!(formats pack journal tree ops text requests);
