module rimward/edge

go 1.24
