//! The one codec of everything that is signed, hashed, sent or stored: borsh, strict.
//!
//! `encode(decode(b)) == b` for every accepted `b`: trailing bytes, unordered maps (feature `de_strict_order`) and collections above their bound are
//! refused. Types here are never recursive: a recursive one would let a peer choose the depth of the stack.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use borsh::io::{Error, ErrorKind, Read, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use crate::CodecError;

/// What is allocated at most ahead of bytes that have really arrived.
const CHUNK_BYTES: usize = 64 * 1024;

/// The canonical bytes of a value.
///
/// # Panics
/// Never for this project's types: writing to memory cannot fail, and borsh refuses only collections above 4 GiB and NaNs.
#[must_use]
#[expect(clippy::expect_used, reason = "a Vec never refuses bytes, and no type here holds floats or 4 GiB collections")]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    // To the byte: most values are small, and `Bytes` takes over what has no room left without another allocation.
    let mut bytes = Vec::with_capacity(borsh::object_length(value).expect("encoding to memory"));
    value.serialize(&mut bytes).expect("encoding to memory");
    bytes
}

/// The value of canonical bytes.
///
/// # Errors
/// [`CodecError::Malformed`] if any byte is missing, left over or not canonical.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, CodecError> {
    borsh::from_slice(bytes).map_err(|error| CodecError::Malformed(error.to_string()))
}

/// At most `N` elements. Decoding checks the length before it allocates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounded<T, const N: usize>(Vec<T>);

impl<T, const N: usize> Bounded<T, N> {
    /// No elements.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The elements, without their bound.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// Appends one element.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if there are `N` already.
    pub fn push(&mut self, element: T) -> Result<(), CodecError> {
        check_length(self.0.len() + 1, N)?;
        self.0.push(element);
        Ok(())
    }
}

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> TryFrom<Vec<T>> for Bounded<T, N> {
    type Error = CodecError;

    fn try_from(elements: Vec<T>) -> Result<Self, CodecError> {
        check_length(elements.len(), N)?;
        Ok(Self(elements))
    }
}

impl<T, const N: usize> Deref for Bounded<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// Elements may change; how many there are may not.
impl<T, const N: usize> DerefMut for Bounded<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, const N: usize> IntoIterator for Bounded<T, N> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a Bounded<T, N> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: BorshSerialize, const N: usize> BorshSerialize for Bounded<T, N> {
    fn serialize<W: Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.0.serialize(writer)
    }
}

impl<T: BorshDeserialize, const N: usize> BorshDeserialize for Bounded<T, N> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let length = read_length(reader, N)?;
        let ahead = CHUNK_BYTES / core::mem::size_of::<T>().max(1);
        let mut elements = Vec::with_capacity(length.min(ahead.max(1)));
        for _ in 0..length {
            elements.push(T::deserialize_reader(reader)?);
        }
        Ok(Self(elements))
    }
}

/// At most `N` bytes, shared: a clone copies no bytes. Decoding checks the length before it allocates.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundedBytes<const N: usize>(Bytes);

impl<const N: usize> BoundedBytes<N> {
    /// The bytes, shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl<const N: usize> core::fmt::Debug for BoundedBytes<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<const N: usize> TryFrom<Bytes> for BoundedBytes<N> {
    type Error = CodecError;

    fn try_from(bytes: Bytes) -> Result<Self, CodecError> {
        check_length(bytes.len(), N)?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> TryFrom<Vec<u8>> for BoundedBytes<N> {
    type Error = CodecError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, CodecError> {
        Self::try_from(Bytes::from(bytes))
    }
}

impl<const N: usize> TryFrom<&[u8]> for BoundedBytes<N> {
    type Error = CodecError;

    fn try_from(bytes: &[u8]) -> Result<Self, CodecError> {
        check_length(bytes.len(), N)?;
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }
}

impl<const N: usize> Deref for BoundedBytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> BorshSerialize for BoundedBytes<N> {
    fn serialize<W: Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.0.as_ref().serialize(writer)
    }
}

impl<const N: usize> BorshDeserialize for BoundedBytes<N> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let length = read_length(reader, N)?;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let start = bytes.len();
            bytes.resize(length.min(start + CHUNK_BYTES), 0);
            reader.read_exact(&mut bytes[start..])?;
        }
        Ok(Self(bytes.into()))
    }
}

fn check_length(length: usize, maximum: usize) -> Result<(), CodecError> {
    if length <= maximum {
        return Ok(());
    }
    Err(CodecError::TooLong { length: length as u64, maximum: maximum as u64 })
}

fn read_length<R: Read>(reader: &mut R, maximum: usize) -> borsh::io::Result<usize> {
    let length = u32::deserialize_reader(reader)? as usize;
    check_length(length, maximum).map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
    Ok(length)
}

#[cfg(test)]
mod tests;
