package sandbox

// deniedHere lists denied calls that only this architecture has.
func deniedHere() []uintptr { return nil }

// attributeCallsHere lists older forms of calls that change attributes.
func attributeCallsHere() []uintptr { return nil }
