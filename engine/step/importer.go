package step

// An Importer is a step that copies a file of another host. Its Apply takes the
// file from [weft/engine/host.Elsewhere]. Imports is pure: the controller, which
// brings the file, asks it of the step as it made it itself.
type Importer interface {
	Imports() Origin
}

// Origin is where a file comes from.
type Origin struct {
	Host string // name in the inventory
	Path string // absolute path of the file there
}
