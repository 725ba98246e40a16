//! 16-bit floats.

/// The value of an IEEE binary16.
pub(super) fn f16(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1F);
    let fraction = u32::from(bits & 0x3FF);
    match exponent {
        // A fraction of 2^-24, exact in F32.
        0 => f32::from_bits(sign | (f32::from(bits & 0x3FF) / 16_777_216.0).to_bits()),
        0x1F => f32::from_bits(sign | 0x7F80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The value of a bfloat16: the upper half of an F32.
pub(super) fn bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary16_has_its_value() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                0x1F if fraction == 0.0 => f64::INFINITY,
                0x1F => f64::NAN,
                e => (1.0 + fraction / 1024.0) * 2f64.powi(e - 15),
            };
            let value = f64::from(f16(bits));
            assert_eq!(value.is_sign_negative(), bits >> 15 == 1, "{bits:#x}");
            assert!(value.abs() == magnitude || value.is_nan() && magnitude.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn bfloat16_is_the_upper_half() {
        assert_eq!(bf16(0x3F80), 1.0);
        assert_eq!(bf16(0xC020), -2.5);
        assert!(bf16(0x7FC0).is_nan());
    }
}
