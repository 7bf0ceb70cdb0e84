package sandbox

// deniedHere lists denied calls that only this architecture has.
func deniedHere() []uintptr { return nil }
