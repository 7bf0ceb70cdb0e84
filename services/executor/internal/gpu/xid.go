package gpu

// Class says whose fault a driver's error is.
type Class int

// Classes.
const (
	Unknown     Class = iota // the slot is looked at again after a while
	Application              // the program's: the slot is fine
	Reset                    // the device must be reset before it is used again
	Hardware                 // the device or its link is broken
)

// classes follow NVIDIA's catalogue, as executor.md section 7 sorts it:
// https://docs.nvidia.com/deploy/xid-errors/.
var classes = map[uint32]Class{
	13: Application, 31: Application, 43: Application, 45: Application, 68: Application, 94: Application, 109: Application,
	48: Reset, 63: Reset, 64: Reset, 95: Reset, 119: Reset, 120: Reset,
	61: Hardware, 62: Hardware, 74: Hardware, 79: Hardware,
}

// Classify sorts an error; over replaces the built-in table.
func Classify(xid uint32, over map[uint32]Class) Class {
	if c, ok := over[xid]; ok {
		return c
	}
	return classes[xid]
}

// ParseClass reads a class as configuration spells it.
func ParseClass(s string) (Class, bool) {
	for c := Unknown; c <= Hardware; c++ {
		if c.String() == s {
			return c, true
		}
	}
	return Unknown, false
}

// String names a class as configuration does.
func (c Class) String() string {
	return [...]string{"unknown", "application", "reset", "hardware"}[c]
}
