package language

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Sensitive says whether a variable of that name is declared sensitive, so
// that its value must not be written anywhere. A name that no variable has is
// taken for one.
func (p *Program) Sensitive(name string) bool {
	i := slices.IndexFunc(p.config.variables, func(v *variable) bool { return v.name == name })
	return i < 0 || p.config.variables[i].sensitive
}

// Insensitive is a file of variables without those that are sensitive, for a
// saved plan. Of a file that cannot be read as one nothing is left.
func (p *Program) Insensitive(path string, src []byte) []byte {
	f, diags := hclwrite.ParseConfig(src, path, hcl.InitialPos)
	if diags.HasErrors() {
		return nil
	}
	for name := range f.Body().Attributes() {
		if p.Sensitive(name) {
			f.Body().RemoveAttribute(name)
		}
	}
	return f.Bytes()
}
