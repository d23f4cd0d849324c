variable "a" {
  default = 
}

locals {
  b = "unclosed
}

play "one" {
  hosts = "all"
  step "file" "f" {
    content = var.a + local.b + local.nothing
    path = [1, 2
  }
}

play "two" {
  hosts = "all"
  step "file" "g" { content = step.file.f.path, mode = "1" }
}

play "three" {
  hosts = "all"
  step "file" "h" {
    content = upperr("x")
  }
}
