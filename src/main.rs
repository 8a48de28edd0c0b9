//! The `vst` command.
use std::sync::Arc;
fn main() {
    env_logger::init();
    let a: Vec<String> = std::env::args().collect();
    let repo = Arc::new(
        vst::repo::Repo::open(
            a[1].as_ref(),
            vst::repo::RepoOptions { author: "me".into(), ..Default::default() },
        )
        .unwrap(),
    );
    let v = Arc::new(vst::vfs::Vfs::live(repo.clone(), (0, 0)));
    let m = vst::fuse::Mount::new(
        v,
        &vst::fuse::MountOptions {
            mountpoint: a[2].clone().into(),
            store: a[1].clone().into(),
            read_only: false,
            allow_other: false,
            dev: false,
            threads: 2,
        },
    )
    .unwrap();
    m.run().unwrap();
    repo.close().unwrap();
    println!("closed");
}
