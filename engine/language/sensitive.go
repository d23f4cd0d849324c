package language

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Encrypted says whether a file is encrypted with age, by its name or by how it
// begins.
func Encrypted(path string, src []byte) bool {
	src = bytes.TrimLeft(src, " \t\r\n")
	return strings.HasSuffix(path, ".age") ||
		bytes.HasPrefix(src, []byte("age-encryption.org/")) ||
		bytes.HasPrefix(src, []byte("-----BEGIN AGE ENCRYPTED FILE-----"))
}

// Sensitive says whether a variable of that name is sensitive, by declaration
// or because its value came from an encrypted file, so that its value must not
// be written anywhere. A name that no variable has is taken for one.
func (p *Program) Sensitive(name string) bool {
	if p.sealed[name] {
		return true
	}
	i := slices.IndexFunc(p.config.variables, func(v *variable) bool { return v.name == name })
	return i < 0 || p.config.variables[i].sensitive
}

// Insensitive is a file of variables without those that are sensitive, for a
// saved plan. Of a file that is encrypted, or that cannot be read as one, nothing
// is left.
func (p *Program) Insensitive(path string, src []byte) []byte {
	if Encrypted(path, src) {
		return nil
	}
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
