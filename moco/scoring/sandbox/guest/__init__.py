"""What runs inside the sandbox, in an interpreter of its own: standard library only, and no other part of MoCo."""
