//! The segments of a worker, and who may have how many.

/// All segments of one worker.
#[derive(Debug)]
pub(crate) struct Memory {
    data: Vec<Box<[u8]>>,
    free: Vec<u32>,
    used: Vec<bool>,
    /// Segments that no pool is guaranteed.
    spare: u32,
}

/// One local pool: what it is guaranteed, may have, and has.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    required: u32,
    max: u32,
    used: u32,
}

impl Quota {
    pub(crate) fn new(required: u32, max: u32) -> Self {
        Self { required, max, used: 0 }
    }

    pub(crate) fn used(&self) -> u32 {
        self.used
    }
}

impl Memory {
    pub(crate) fn new(segments: u32, spare: u32, segment_bytes: u32) -> Self {
        let count = segments as usize;
        Self {
            data: vec![vec![0; segment_bytes as usize].into_boxed_slice(); count],
            free: (0..segments).rev().collect(),
            used: vec![false; count],
            spare,
        }
    }

    /// Whether a pool could take a segment now.
    pub(crate) fn has_for(&self, quota: &Quota) -> bool {
        quota.used < quota.required || (quota.used < quota.max && self.spare > 0)
    }

    /// A segment for a pool, if it may have one.
    pub(crate) fn take(&mut self, quota: &mut Quota) -> Option<u32> {
        if !self.has_for(quota) {
            return None;
        }
        self.spare -= u32::from(quota.used >= quota.required);
        quota.used += 1;
        Some(self.allocate())
    }

    /// A segment of a pool comes back.
    pub(crate) fn put(&mut self, quota: &mut Quota, segment: u32) {
        assert!(quota.used > 0, "segment {segment} was not taken by this pool");
        quota.used -= 1;
        self.spare += u32::from(quota.used >= quota.required);
        self.free(segment);
    }

    /// A segment that is guaranteed to exist.
    ///
    /// Panics when there is none: somebody holds more than the budget allows.
    pub(crate) fn allocate(&mut self) -> u32 {
        let segment = self.free.pop().expect("budget exceeded: no segment is left");
        self.used[segment as usize] = true;
        segment
    }

    /// Overwrites the segment, so that whoever still reads it is found out.
    pub(crate) fn free(&mut self, segment: u32) {
        let index = segment as usize;
        assert!(core::mem::take(&mut self.used[index]), "segment {segment} freed twice");
        self.data[index].fill(0xdd);
        self.free.push(segment);
    }

    /// Segments in use.
    pub(crate) fn used(&self) -> usize {
        self.data.len() - self.free.len()
    }

    pub(crate) fn segment(&self, segment: u32) -> &[u8] {
        assert!(self.used[segment as usize], "segment {segment} read after it was freed");
        &self.data[segment as usize]
    }

    pub(crate) fn segment_mut(&mut self, segment: u32) -> &mut [u8] {
        assert!(self.used[segment as usize], "segment {segment} written after it was freed");
        &mut self.data[segment as usize]
    }
}
