//! Files and folders that only their owner may read, made and opened through no link.

use std::{fs, io, path::Path};

/// Makes a folder, for its owner only. A link in its place is refused: it may lead anywhere.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    if fs::symlink_metadata(folder)?.is_symlink() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is a symbolic link"));
    }
    Ok(())
}

/// Creates a file that does not exist yet, with mode 0600, through no link.
pub(super) fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    }
    options.open(path)
}

/// Opens a file for reading, through no link.
pub(super) fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A named pipe in the folder must not block.
        options.custom_flags((nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits());
    }
    options.open(path)
}
