//! The test kit: tiny executable models, generators and seeds.
