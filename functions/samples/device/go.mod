module rimward/samples/device

go 1.24

require rimward/edge v0.1.0

replace rimward/edge => ../../sdk/go
