//! The signal of a file that gets too large.

#![allow(unsafe_code)]

/// Ignores `SIGXFSZ`, if it would end the process: the write that was too large then fails with
/// `EFBIG`, which is an error like others.
pub(super) fn ignore_file_size_limit() {
    // SAFETY: the structures are made of numbers and pointers, for which zeros are values; the calls
    // get valid pointers to them, and ignoring a signal runs no code of ours.
    unsafe {
        let mut current: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGXFSZ, std::ptr::null(), &raw mut current) == 0
            && current.sa_sigaction == libc::SIG_DFL
        {
            let mut ignore: libc::sigaction = std::mem::zeroed();
            ignore.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(libc::SIGXFSZ, &raw const ignore, std::ptr::null_mut());
        }
    }
}
