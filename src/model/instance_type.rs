//! What pods may use of an EC2 instance type.
