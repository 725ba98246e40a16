//! Statistics of rows that are read from disk as often as needed and never held: memory is a few vectors of the rows'
//! width, whatever their number.

mod eraser;
mod logistic;
mod moments;
mod principal;
#[cfg(test)]
mod reference;
mod resample;
mod rows;
mod score;

pub use eraser::{Eraser, eraser};
pub use logistic::{Logistic, logistic};
pub use moments::{Moments, moments};
pub use principal::{Centre, principal};
pub use resample::{Clusters, Interval, weighted_mean};
#[cfg(test)]
pub use rows::Matrix;
pub use rows::{Rows, dot, norm, project, unit};
pub use score::Scored;
