//! A small random number generator whose output never changes.

/// SplitMix64 (Steele, Lea and Flood 2014): one 64-bit state, equidistributed, reproducible everywhere.
pub struct Random(u64);

impl Random {
    /// A generator for one named object, so that adding a tensor does not change the others.
    pub fn named(seed: u64, name: &str) -> Self {
        // FNV-1a, started from the seed.
        let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(hash)
    }

    /// The next 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value with mean 0 and variance 1, nearly normal, within ±3.5: the sum of four uniform ones (Irwin and Hall).
    pub fn normal(&mut self) -> f32 {
        let bits = self.bits();
        let sum: u32 = (0..4).map(|i| (bits >> (16 * i)) as u16).map(u32::from).sum();
        // Four uniform variables on [0, 1) have mean 2 and variance 1/3.
        (sum as f32 / 65536.0 - 2.0) * 1.732_050_8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_name_same_values_and_unit_variance() {
        let (mut a, mut b) = (Random::named(1, "x"), Random::named(1, "x"));
        assert!((0..100).all(|_| a.bits() == b.bits()));
        assert_ne!(Random::named(1, "x").bits(), Random::named(1, "y").bits());
        assert_ne!(Random::named(1, "x").bits(), Random::named(2, "x").bits());

        let values: Vec<f32> = (0..100_000).map(|_| a.normal()).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
    }
}
