package language

import "slices"

// Sensitive says whether a variable of that name is declared sensitive, so
// that its value must not be written anywhere. A name that no variable has is
// taken for one.
func (p *Program) Sensitive(name string) bool {
	i := slices.IndexFunc(p.config.variables, func(v *variable) bool { return v.name == name })
	return i < 0 || p.config.variables[i].sensitive
}
