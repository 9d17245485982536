mod faults;
mod real;
