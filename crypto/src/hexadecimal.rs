//! Lower-case hexadecimal of fixed-size values, one spelling per value, and the trait implementations that go with it.

use crate::KeyError;

/// Reads exactly `N` bytes from `2 * N` lower-case digits; upper case is refused, so that a value has one spelling.
///
/// # Errors
/// [`KeyError::NotHex`] for any other text.
pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], KeyError> {
    let refused = KeyError::NotHex { expected: 2 * N };
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(refused);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| refused)?;
    Ok(bytes)
}

/// `Display`, `Debug` and serde as lower-case hexadecimal, for a type with `as_bytes()` and `FromStr<Err = KeyError>`.
macro_rules! hexadecimal {
    ($name:ident) => {
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text: alloc::string::String = serde::Deserialize::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use hexadecimal;
