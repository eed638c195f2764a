"""What people read of a result: tables, and one HTML file."""
